; One step of a fade-out: the brightness falls by one until the screen is dark. Call it once a frame.
; Words: fade out fadeout brightness screen dark black transition effect step
; Entry: $18 = brightness (0-15)
; Exit: $18 and the screen darker by one; carry set, and forced blank, when it is dark; A changed, widths kept
; Uses: PPU $2100

FadeOut:
    PHP
    SEP #$20
    LDA $18
    BEQ .dark
    DEC A
    STA $18
    STA $002100
    PLP
    CLC
    RTS
.dark
    LDA #$80
    STA $002100             ; forced blank
    PLP
    SEC
    RTS
