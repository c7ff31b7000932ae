; Divides an unsigned 16-bit number by an 8-bit one with the hardware divider.
; Words: divide division quotient remainder modulo unsigned 16-bit by 8-bit hardware
; Entry: $00 = dividend (16 bits), $02 = divisor (8 bits)
; Exit: $04 = quotient, $06 = remainder (16 bits each); by zero: $FFFF and the dividend; A changed, widths kept
; Uses: CPU $4204-$4206, $4214, $4216

Divide8:
    PHP
    REP #$20
    LDA $00
    STA $004204
    SEP #$20
    LDA $02
    STA $004206             ; starts; the result is there 16 cycles later
    REP #$20                ; 3 cycles
    NOP                     ; 2 cycles each
    NOP
    NOP
    NOP
    NOP
    LDA $004214             ; reads 4 cycles after its start
    STA $04
    LDA $004216
    STA $06
    PLP
    RTS
