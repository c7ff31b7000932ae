; Clears all 128 KiB of WRAM with a fixed DMA through the WRAM port. The return address survives in registers.
; Words: clear wram ram memory zero all 128k dma port wmdata boot init
; Entry: any widths; all variables and the stack are cleared too
; Exit: A, X, Y changed; 8-bit A, 16-bit X and Y
; Uses: DMA channel 0, $2180-$2183

ClearWram:
    SEP #$20
    REP #$10
    PLX                     ; the return address: the stack is cleared as well
    LDA #$00
    STA $002181
    STA $002182
    STA $002183             ; from $7E0000 on
    LDA #$08
    STA $004300             ; the source address stays
    LDA #$80
    STA $004301             ; $2180
    LDY.w #.zero
    STY $4302
    LDA.b #bank(.zero)
    STA $004304
    LDY.w #$0000
    STY $4305               ; 65,536 bytes
    LDA #$01
    STA $00420B
    STA $00420B             ; and the second bank: the port's address has gone on
    PHX
    RTS
.zero
    db $00
