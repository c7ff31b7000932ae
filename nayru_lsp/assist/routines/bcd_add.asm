; Adds two 16-bit BCD numbers (four decimal digits each) in decimal mode.
; Words: bcd decimal mode add addition score counter sed
; Entry: $00 = first number, $02 = second number (four BCD digits each)
; Exit: $00 = sum; A changed, widths and decimal mode kept
; Uses: decimal mode

BcdAdd:
    PHP
    REP #$20
    SED
    LDA $00
    CLC
    ADC $02
    STA $00
    PLP                     ; decimal mode as before
    RTS
