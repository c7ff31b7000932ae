; Reads the first joypad: what is held, and what was pressed since the last frame.

ReadJoypad:
    LDA $4212
    AND #$01
    BNE ReadJoypad      ; the automatic reading is still running
    REP #$20
    LDA JoyHeld
    EOR.w #$FFFF
    AND $4218
    STA JoyPressed
    LDA $4218
    STA JoyHeld
    SEP #$20
    RTS
