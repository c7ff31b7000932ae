; Makes the next pseudo-random 16-bit number with shifts and exclusive ors; all 65,535 values come before one repeats.
; Words: random rng prng number generator pseudo xorshift lfsr seed noise
; Entry: $1A = seed (16 bits, not zero)
; Exit: $1A = the next number; A changed, widths kept

Random16:
    PHP
    REP #$20
    LDA $1A
    ASL A
    ASL A
    ASL A
    ASL A
    ASL A
    ASL A
    ASL A
    EOR $1A                 ; x ^= x << 7
    STA $1A
    XBA
    AND.w #$00FF
    LSR A
    EOR $1A                 ; x ^= x >> 9
    STA $1A
    XBA
    AND.w #$FF00
    EOR $1A                 ; x ^= x << 8
    STA $1A
    PLP
    RTS
