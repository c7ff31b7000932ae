; One step of a fade-in: the brightness grows by one until it is full. Call it once a frame.
; Words: fade in fadein brightness screen bright light transition effect step
; Entry: $18 = brightness (0-15)
; Exit: $18 and the screen brighter by one; carry set when it is full; A changed, widths kept
; Uses: PPU $2100

FadeIn:
    PHP
    SEP #$20
    LDA $18
    CMP #$0F
    BCS .full
    INC A
    STA $18
    STA $002100
    PLP
    CLC
    RTS
.full
    LDA #$0F
    STA $002100
    PLP
    SEC
    RTS
