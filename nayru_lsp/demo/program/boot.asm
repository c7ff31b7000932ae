; From reset to the main loop. All routines are entered with an 8-bit accumulator and 16-bit index registers.

Reset:
    SEI
    CLC
    XCE                 ; leave emulation mode
    REP #$38            ; 16-bit A, X and Y; decimal mode off
    LDX.w #$1FFF
    TXS
    LDA.w #$0000
    TCD
    SEP #$20
    PHK
    PLB

    LDA #$80
    STA $2100           ; forced blank while all is set up
    STZ $4200           ; no interrupts yet
    STZ $420B
    STZ $420C
    JSR ClearRegisters
    JSR ClearRam
    JSR LoadGraphics
    JSR DrawText
    JSR InitSprite

    LDA #$00
    STA $2105           ; mode 0
    LDA #$04
    STA $2107           ; BG1 map at word $0400
    STZ $210B           ; BG1 tiles at word $0000
    LDA #$02
    STA $2101           ; 8x8 sprites, tiles at word $4000
    LDA #$11
    STA $212C           ; BG1 and sprites on the main screen

    LDA #$81
    STA $4200           ; NMI and automatic joypad reading
    LDA #$0F
    STA Brightness
    STA $2100           ; full brightness, screen on

MainLoop:
    JSR WaitFrame
    JSR ReadJoypad
    JSR MoveSprite
    JSR DrawSprite
    BRA MainLoop

; The registers $2101-$2133 hold anything after power-on: write them all.
ClearRegisters:
    LDX.w #$2101
.loop
    STZ $00,X
    STZ $00,X           ; many of them take two writes
    INX
    CPX.w #$2134
    BNE .loop
    LDA #$80
    STA $2115           ; VRAM address grows after the high byte
    LDA #$30
    STA $2130
    LDA #$E0
    STA $2132
    RTS

ClearRam:
    LDX.w #$0010
.loop
    STZ $00,X
    INX
    CPX.w #$1F00        ; the stack stays
    BNE .loop
    RTS
