; Copies colours to CGRAM, the palette memory, with DMA channel 0.
; Words: dma cgram palette colour color copy transfer upload
; Entry: X = source address, $00 = source bank, Y = bytes, $02 = first colour (0-255)
; Exit: A changed, widths kept
; Uses: DMA channel 0; in the vertical blank or forced blank only

DmaCgram:
    PHP
    REP #$10
    SEP #$20
    LDA $02
    STA $002121             ; first colour
    STX $4302
    STY $4305
    LDA #$00
    STA $004300             ; one register, written once
    LDA #$22
    STA $004301             ; $2122
    LDA $00
    STA $004304
    LDA #$01
    STA $00420B
    PLP
    RTS
