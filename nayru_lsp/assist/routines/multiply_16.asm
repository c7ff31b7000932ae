; Multiplies two unsigned 16-bit numbers: a 32-bit product from four hardware multiplications.
; Words: multiply multiplication mul product times unsigned 16-bit 16x16 32-bit long
; Entry: $00 = first factor (16 bits), $02 = second factor (16 bits)
; Exit: $04 = product (32 bits); A, X changed, widths kept
; Uses: CPU $4202, $4203, $4216

Multiply16:
    PHP
    SEP #$30                ; 8-bit A, X, Y
    LDX $00
    LDA $02
    JSR .part               ; low * low
    REP #$20
    STA $04
    SEP #$20
    LDX $01
    LDA $03
    JSR .part               ; high * high
    REP #$20
    STA $06
    SEP #$20
    LDX $01
    LDA $02
    JSR .middle             ; high * low
    LDX $00
    LDA $03
    JSR .middle             ; low * high
    PLP
    RTS

.middle                     ; add the part one byte higher
    JSR .part
    REP #$20
    CLC
    ADC $05
    STA $05
    SEP #$20
    BCC .done
    INC $07
.done
    RTS

.part                       ; X * A -> A, 16 bits
    STA $004202
    TXA
    STA $004203
    REP #$20
    NOP
    NOP
    LDA $004216
    SEP #$20                ; the high byte stays in B
    RTS
