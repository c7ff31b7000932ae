; Clears all 64 KiB of VRAM with a fixed DMA.
; Words: clear vram video memory zero all 64k dma fill screen
; Entry: in forced blank; any widths
; Exit: A, X changed, widths kept
; Uses: DMA channel 0, $00 (a zero byte)

VramClear:
    PHP
    SEP #$20
    REP #$10
    STZ $00                 ; the byte to write, in the direct page at $0000
    LDA #$80
    STA $002115
    LDX.w #$0000
    STX $2116
    STX $4302               ; source $00:0000
    STX $4305               ; 65,536 bytes
    LDA #$09
    STA $004300             ; two registers, the source address stays
    LDA #$18
    STA $004301
    LDA #$00
    STA $004304
    LDA #$01
    STA $00420B
    PLP
    RTS
