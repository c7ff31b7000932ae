; One ball, moved by the joypad.

InitSprite:
    LDA #$78
    STA SpriteX
    LDA #$90
    STA SpriteY
    ; all objects below the screen
    LDX.w #$0000
    LDA #$F0
.hide
    STA OamBuffer+1,X
    INX
    INX
    INX
    INX
    CPX.w #$0200
    BNE .hide
    ; their high bits
    LDX.w #$0000
.high
    STZ OamBuffer+$200,X
    INX
    CPX.w #$0020
    BNE .high
    JSR DrawSprite
    ; fall through

UploadSprites:
    LDX.w #$0000
    STX $2102           ; first object
    LDX.w #OamBuffer
    LDY.w #$0220
    JSR DmaToOam
    RTS

MoveSprite:
    LDA JoyHeld+1       ; the high byte holds the directions
    BIT #!JoyRight
    BEQ .notRight
    INC SpriteX
.notRight
    BIT #!JoyLeft
    BEQ .notLeft
    DEC SpriteX
.notLeft
    BIT #!JoyDown
    BEQ .notDown
    INC SpriteY
.notDown
    BIT #!JoyUp
    BEQ .notUp
    DEC SpriteY
.notUp
    RTS

DrawSprite:
    LDA SpriteX
    STA OamBuffer
    LDA SpriteY
    STA OamBuffer+1
    STZ OamBuffer+2     ; tile 0
    LDA #$30
    STA OamBuffer+3     ; palette 0, in front of all
    RTS
