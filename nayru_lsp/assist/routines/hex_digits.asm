; Turns a byte into two hexadecimal digits as ASCII letters.
; Words: hex hexadecimal digits byte ascii convert print number debug nibble
; Entry: $00 = the byte
; Exit: $02, $03 = the letters, the high digit first; A changed, widths kept

HexDigits:
    PHP
    SEP #$20
    LDA $00
    LSR A
    LSR A
    LSR A
    LSR A
    JSR .letter
    STA $02
    LDA $00
    AND #$0F
    JSR .letter
    STA $03
    PLP
    RTS
.letter
    CMP #$0A
    BCC .number
    ADC #$06                ; carry is set: 7 more, from ':' to 'A'
.number
    ADC #'0'
    RTS
