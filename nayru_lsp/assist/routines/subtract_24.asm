; Subtracts a 24-bit number from another.
; Words: subtract subtraction minus difference 24-bit long address pointer
; Entry: $00 = first number, $03 = number to take away (24 bits each, low byte first)
; Exit: $00 = difference, carry clear when it went below zero; A changed, widths kept

Subtract24:
    PHP
    REP #$20
    LDA $00
    SEC
    SBC $03
    STA $00
    SEP #$20
    LDA $02
    SBC $05
    STA $02
    BCC .borrow
    PLP
    SEC
    RTS
.borrow
    PLP
    CLC
    RTS
