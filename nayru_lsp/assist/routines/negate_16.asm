; Makes the absolute value of a signed 16-bit number.
; Words: absolute abs negate negative magnitude sign signed 16-bit arithmetic
; Entry: $00 = number (16 bits, signed)
; Exit: $00 = its magnitude ($8000 stays); A changed, widths kept

Absolute16:
    PHP
    REP #$20
    LDA $00
    BPL .positive
    EOR.w #$FFFF
    INC A
    STA $00
.positive
    PLP
    RTS
