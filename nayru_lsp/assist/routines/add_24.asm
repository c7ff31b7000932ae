; Adds two 24-bit numbers.
; Words: add addition sum plus 24-bit long address pointer
; Entry: $00 = first number, $03 = second number (24 bits each, low byte first)
; Exit: $00 = sum, carry set when it did not fit; A changed, widths kept

Add24:
    PHP
    REP #$20
    LDA $00
    CLC
    ADC $03
    STA $00
    SEP #$20
    LDA $02
    ADC $05
    STA $02
    BCS .carry
    PLP
    CLC
    RTS
.carry
    PLP
    SEC
    RTS
