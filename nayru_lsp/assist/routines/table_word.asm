; Looks up a 16-bit word in a table by an 8-bit index.
; Words: table look-up lookup index word array read entry 16-bit
; Entry: X = address of the table in the data bank, $00 = index (0-255)
; Exit: $02 = the word; A, Y changed, widths kept

TableWord:
    PHP
    REP #$30
    STX $04
    LDA $00
    AND.w #$00FF
    ASL A                   ; two bytes for each entry
    TAY
    LDA ($04),Y
    STA $02
    PLP
    RTS
