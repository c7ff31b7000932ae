; Initialises the hardware registers after power-on: forced blank, no interrupts, no DMA, all PPU registers at rest.
; Words: init initialise initialize reset boot power-on clear hardware registers ppu setup startup
; Entry: any widths
; Exit: screen in forced blank, VRAM address step after the high byte; A, X, Y changed, widths kept
; Uses: PPU $2100-$2133, CPU $4200-$420D

InitRegisters:
    PHP
    SEP #$20                ; 8-bit A
    REP #$10                ; 16-bit X, Y
    LDA #$8F
    STA $002100             ; forced blank
    LDA #$00
    STA $004200             ; no NMI, no IRQ, no automatic joypad reading
    STA $00420B             ; no DMA
    STA $00420C             ; no HDMA
    STA $00420D             ; SlowROM speed
    LDX.w #$0000
.clear
    STA $002101,X           ; $2101-$2133, twice: many take a low and a high byte
    STA $002101,X
    INX
    CPX.w #$0033
    BNE .clear
    LDA #$80
    STA $002115             ; VRAM address grows after a write to $2119
    LDA #$01
    STA $00211B             ; mode 7 matrix: the identity, high byte last
    STA $00211E
    LDA #$30
    STA $002130             ; no colour window
    LDA #$E0
    STA $002132             ; no fixed colour
    PLP
    RTS
