; Turns an unsigned 16-bit number into five decimal digits.
; Words: decimal digits number convert conversion binary to bcd print score display hex
; Entry: $00 = number (16 bits)
; Exit: $02-$06 = digits 0-9, the highest first; A, X, Y changed, widths kept

DecimalDigits:
    PHP
    SEP #$10                ; 8-bit X, Y
    REP #$20                ; 16-bit A
    LDX #$00                ; the digit
    LDA $00
.digit
    LDY #$FF
.more
    INY                     ; how often the power of ten fits
    CMP.l .powers,X
    BCC .fits
    SBC.l .powers,X
    BRA .more
.fits
    PHA
    TXA
    LSR A
    AND.w #$00FF
    PHX
    TAX
    STY $08
    SEP #$20
    LDA $08
    STA $02,X
    REP #$20
    PLX
    PLA
    INX
    INX
    CPX #$0A
    BNE .digit
    PLP
    RTS
.powers
    dw 10000, 1000, 100, 10, 1
