; Copies a block of memory inside bank $7E with a block move; the blocks may overlap upwards only.
; Words: memcpy copy memory block move mvn ram bytes wram buffer
; Entry: X = source, Y = destination (addresses in bank $7E), $00 = bytes (16 bits)
; Exit: A, X, Y changed, data bank and widths kept
; Uses: MVN

MemoryCopy:
    PHP
    PHB                     ; MVN leaves the destination bank in DBR
    REP #$30
    LDA $00
    BEQ .nothing            ; MVN would copy 65,536 bytes
    DEC A
    MVN $7E, $7E
.nothing
    PLB
    PLP
    RTS
