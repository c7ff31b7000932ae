; Copies by DMA channel 0. Each routine takes X = source address in this bank, Y = bytes.

; To VRAM, both bytes of each word. The VRAM address is in $2116 already.
DmaToVram:
    LDA #$01
    STA $4300           ; one register pair, written low, high
    LDA #$18
    BRA DmaGo

; To VRAM, only the low byte of each word: one-bit graphics.
DmaToVramLow:
    STZ $4300
    LDA #$18
    BRA DmaGo

; To CGRAM. The colour number is in $2121 already.
DmaToCgram:
    STZ $4300
    LDA #$22
    BRA DmaGo

; To OAM.
DmaToOam:
    STZ $4300
    LDA #$04

DmaGo:
    STA $4301
    STX $4302
    STY $4305
    PHK
    PLA
    STA $4304
    LDA #$01
    STA $420B
    RTS

LoadGraphics:
    ; clear the first 4 KiB of VRAM
    LDX.w #$0000
    STX $2116
    LDX.w #$0800
.clear
    STZ $2118
    STZ $2119
    DEX
    BNE .clear

    ; the font: one bit plane, low bytes only
    STZ $2115
    LDX.w #$0000
    STX $2116
    LDX.w #Font
    LDY.w #Font_end-Font
    JSR DmaToVramLow
    LDA #$80
    STA $2115

    ; the sprite's tile
    LDX.w #$4000
    STX $2116
    LDX.w #BallTile
    LDY.w #BallTile_end-BallTile
    JSR DmaToVram

    ; colours: 0-3 for the text, 128-143 for the sprite
    STZ $2121
    LDX.w #TextColours
    LDY.w #TextColours_end-TextColours
    JSR DmaToCgram
    LDA #$80
    STA $2121
    LDX.w #BallColours
    LDY.w #BallColours_end-BallColours
    JMP DmaToCgram
