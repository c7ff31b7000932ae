; Calls one of several routines by a number: a jump table.
; Words: jump table dispatch state machine indirect call switch handler pointer
; Entry: $00 = number of the routine (0-3)
; Exit: as the routine called leaves it, widths kept; numbers above 3 do nothing

JumpTable:
    PHP
    SEP #$30
    LDA $00
    CMP #$04
    BCS .done
    ASL A
    TAX
    JSR (.table,X)
.done
    PLP
    RTS
.table
    dw .first, .second, .third, .fourth
.first
    RTS
.second
    INC $01
    RTS
.third
    DEC $01
    RTS
.fourth
    STZ $01
    RTS
