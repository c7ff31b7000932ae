; Graphics and colours.

; One bit for each pixel, eight rows for each letter.
Font:
    db $00,$00,$00,$00,$00,$00,$00,$00   ; space
    db $70,$88,$88,$F8,$88,$88,$88,$00   ; A
    db $F8,$80,$80,$F0,$80,$80,$F8,$00   ; E
    db $F8,$80,$80,$F0,$80,$80,$80,$00   ; F
    db $88,$88,$88,$F8,$88,$88,$88,$00   ; H
    db $80,$80,$80,$80,$80,$80,$F8,$00   ; L
    db $88,$D8,$A8,$A8,$88,$88,$88,$00   ; M
    db $88,$C8,$A8,$98,$88,$88,$88,$00   ; N
    db $70,$88,$88,$88,$88,$88,$70,$00   ; O
    db $F0,$88,$88,$F0,$A0,$90,$88,$00   ; R
    db $88,$88,$88,$88,$88,$88,$70,$00   ; U
    db $88,$88,$50,$20,$20,$20,$20,$00   ; Y
.end

; An 8x8 ball in four bit planes: the outline is colour 1, the body colour 2, the light colour 3.
BallTile:
    db $3C,$00,$42,$3C,$B1,$7E,$B1,$7E,$81,$7E,$81,$7E,$42,$3C,$3C,$00
    db $00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00,$00
.end

TextColours:
    dw $2843, $7FFF, $7FFF, $7FFF   ; deep blue, white
.end

BallColours:
    dw $0000, $0C63, $02BF, $7FFF   ; nothing, dark, orange, white
.end
