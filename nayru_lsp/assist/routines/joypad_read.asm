; Reads joypad 1 after the automatic reading: buttons held, and buttons newly pressed in this frame.
; Words: joypad joypads controller pad buttons input read held pressed edge player
; Entry: automatic joypad reading on ($4200 bit 0), after the start of the vertical blank
; Exit: $12 = held, $14 = newly pressed, 16 bits each (B Y Select Start Up Down Left Right A X L R 0 0 0 0);
;       A changed, widths kept
; Uses: CPU $4212, $4218

JoypadRead:
    PHP
    SEP #$20
.busy
    LDA $004212
    AND #$01
    BNE .busy               ; the automatic reading is still running
    REP #$20
    LDA $12
    EOR.w #$FFFF            ; what was not held before ...
    AND $004218             ; ... and is held now
    STA $14
    LDA $004218
    STA $12
    PLP
    RTS
