; Divides an unsigned 16-bit number by another, bit by bit.
; Words: divide division quotient remainder modulo unsigned 16-bit by 16-bit software long
; Entry: $00 = dividend, $02 = divisor (16 bits each)
; Exit: $00 = quotient, $04 = remainder; by zero: $FFFF and the dividend; A, X changed, widths kept

Divide16:
    PHP
    REP #$30
    LDA.w #$0000            ; the remainder grows here
    LDX.w #$0010
.bit
    ASL $00                 ; the next bit of the dividend, room for one of the quotient
    ROL A
    BCS .fits               ; 17 bits: the divisor surely fits
    CMP $02
    BCC .next
.fits
    SBC $02                 ; carry is set on both ways here
    INC $00
.next
    DEX
    BNE .bit
    STA $04
    PLP
    RTS
