; Limits an unsigned 16-bit number to a range.
; Words: clamp limit range minimum maximum min max bound 16-bit arithmetic
; Entry: $00 = number, $02 = smallest, $04 = largest (16 bits each, unsigned)
; Exit: $00 = the number inside the range; A changed, widths kept

Clamp16:
    PHP
    REP #$20
    LDA $00
    CMP $02
    BCS .notBelow
    LDA $02
.notBelow
    CMP $04
    BCC .inside
    LDA $04
.inside
    STA $00
    PLP
    RTS
