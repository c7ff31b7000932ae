; Draws a zero-terminated string into the tile map in VRAM: one word of the map for each letter.
; Words: string text print draw write message letters tilemap vram font character
; Entry: X = address of the text in the data bank, $00 = VRAM word address, $02 = high byte of each map word
; Exit: A, X changed, widths kept
; Uses: PPU $2115-$2119; in the vertical blank or forced blank only

StringDraw:
    PHP
    SEP #$20
    REP #$10
    LDA #$80
    STA $002115             ; next word after the high byte
    LDA $00
    STA $002116
    LDA $01
    STA $002117
.letter
    LDA $0000,X
    BEQ .end
    STA $002118
    LDA $02
    STA $002119
    INX
    BRA .letter
.end
    PLP
    RTS
