; Copies bytes to VRAM with DMA channel 0, both bytes of each word.
; Words: dma vram copy transfer upload tiles tilemap graphics general purpose video
; Entry: X = source address, $00 = source bank, Y = bytes, $02 = VRAM word address (16 bits)
; Exit: A, X, Y changed, widths kept
; Uses: DMA channel 0; in the vertical blank or forced blank only

DmaVram:
    PHP
    REP #$10                ; 16-bit X, Y
    SEP #$20                ; 8-bit A
    LDA #$80
    STA $002115             ; next word after the high byte
    STX $4302               ; source address
    STY $4305               ; bytes
    LDX $02
    STX $2116               ; VRAM word address
    LDA #$01
    STA $004300             ; two registers, written once each
    LDA #$18
    STA $004301             ; $2118, $2119
    LDA $00
    STA $004304             ; source bank
    LDA #$01
    STA $00420B             ; go
    PLP
    RTS
