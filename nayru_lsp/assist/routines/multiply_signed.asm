; Multiplies a signed 16-bit by a signed 8-bit number with the mode 7 multiplier.
; Words: multiply signed multiplication mode 7 mode7 matrix product fast 16x8 24-bit
; Entry: $00 = first factor (16 bits, signed), $02 = second factor (8 bits, signed)
; Exit: $04 = product (24 bits, signed); A changed, widths kept
; Uses: PPU $211B, $211C, $2134; not while mode 7 is on the screen

MultiplySigned:
    PHP
    SEP #$20
    LDA $00
    STA $00211B             ; low byte first
    LDA $01
    STA $00211B
    LDA $02
    STA $00211C             ; the product is there at once
    LDA $002134
    STA $04
    LDA $002135
    STA $05
    LDA $002136
    STA $06
    PLP
    RTS
