; The vertical blank: the only time when sprites and VRAM may be written with the screen on.

Nmi:
    REP #$30
    PHA
    PHX
    PHY
    PHB
    PHD
    LDA.w #$0000
    TCD
    SEP #$20
    PHA                 ; a zero byte
    PLB                 ; data bank $00
    LDA $4210           ; acknowledge the interrupt
    LDA FrameReady
    BNE .late           ; the main loop is not done: leave the sprites alone
    JSR UploadSprites
    INC FrameCount
    LDA #$01
    STA FrameReady
.late
    REP #$30
    PLD
    PLB
    PLY
    PLX
    PLA
    RTI

; Waits for the next frame.
WaitFrame:
    STZ FrameReady
.wait
    WAI
    LDA FrameReady
    BEQ .wait
    RTS
