; Shows the message: one word of the map for each letter.

DrawText:
    LDX.w #$0400+(8*32)+8   ; line 8, column 8
    STX $2116
    LDX.w #$0000
.next
    LDA Message,X
    BMI .done
    STA $2118
    STZ $2119           ; palette 0, not flipped
    INX
    BRA .next
.done
    RTS

; Letters as tile numbers: _ is a space.
cleartable
'_' = $00
'A' = $01
'E' = $02
'F' = $03
'H' = $04
'L' = $05
'M' = $06
'N' = $07
'O' = $08
'R' = $09
'U' = $0A
'Y' = $0B

Message:
    db "HELLO_FROM_NAYRU"
    db $FF

cleartable
