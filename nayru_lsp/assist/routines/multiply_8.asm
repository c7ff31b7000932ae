; Multiplies two unsigned 8-bit numbers with the hardware multiplier.
; Words: multiply multiplication mul product times unsigned 8-bit hardware 8x8
; Entry: $00 = first factor, $01 = second factor
; Exit: $02 = product (16 bits); A changed, widths kept
; Uses: CPU $4202, $4203, $4216

Multiply8:
    PHP
    SEP #$20
    LDA $00
    STA $004202
    LDA $01
    STA $004203             ; starts; the product is there 8 cycles later
    REP #$20                ; 3 cycles
    NOP                     ; 2 cycles; the load below reads after 4 more
    NOP
    LDA $004216
    STA $02
    PLP
    RTS
