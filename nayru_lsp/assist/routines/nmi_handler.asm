; NMI handler: saves all registers, acknowledges the interrupt, counts frames and sets a flag for the main loop.
; Words: nmi handler interrupt vblank vertical blank frame counter vector acknowledge
; Entry: by the NMI vector, native mode
; Exit: by RTI, all registers as before; NmiFlag = 1, NmiCount grown by one
; Uses: $10 (flag), $11 (counter)

NmiFlag  = $10
NmiCount = $11

NmiHandler:
    REP #$30                ; save all 16 bits of everything
    PHA
    PHX
    PHY
    PHB
    PHD
    LDA.w #$0000
    TCD                     ; direct page $0000
    SEP #$20
    PHA                     ; the low byte of A: zero
    PLB                     ; data bank $00
    LDA $4210               ; acknowledge the interrupt
    INC NmiCount
    LDA #$01
    STA NmiFlag
    REP #$30
    PLD
    PLB
    PLY
    PLX
    PLA
    RTI
