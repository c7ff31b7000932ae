; Copies a sprite table of 544 bytes to OAM with DMA channel 0.
; Words: dma oam sprite sprites object objects table copy transfer upload
; Entry: X = source address, $00 = source bank
; Exit: A, Y changed, widths kept
; Uses: DMA channel 0; in the vertical blank or forced blank only

DmaOam:
    PHP
    REP #$10
    SEP #$20
    LDY.w #$0000
    STY $2102               ; from the first object on
    STX $4302
    LDY.w #$0220
    STY $4305               ; 544 bytes
    LDA #$00
    STA $004300
    LDA #$04
    STA $004301             ; $2104
    LDA $00
    STA $004304
    LDA #$01
    STA $00420B
    PLP
    RTS
