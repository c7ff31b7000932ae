; Hides all 128 sprites in a sprite table at $0200: each below the screen, small, in the first 256 columns.
; Words: oam sprite sprites hide clear objects table buffer offscreen remove
; Entry: any widths, data bank with WRAM at $0000-$1FFF
; Exit: A, X changed, widths kept
; Uses: $0200-$041F

OamHide:
    PHP
    SEP #$20
    REP #$10
    LDX.w #$0000
    LDA #$F0                ; below the last line
.object
    STA $0201,X
    INX
    INX
    INX
    INX
    CPX.w #$0200
    BNE .object
    LDX.w #$001F
.high
    STZ $0400,X
    DEX
    BPL .high
    PLP
    RTS
