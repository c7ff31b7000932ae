; Fills a block of memory in bank $7E with one byte.
; Words: memset fill clear memory block zero ram bytes wram buffer
; Entry: X = first address in bank $7E, $00 = bytes (16 bits), $02 = the byte
; Exit: A, X, Y changed, widths kept

MemorySet:
    PHP
    SEP #$20
    REP #$10
    LDY $00
    BEQ .done
    LDA $02
.next
    STA $7E0000,X
    INX
    DEY
    BNE .next
.done
    PLP
    RTS
