; Waits for the start of the next vertical blank by polling the hardware.
; Words: wait vblank vertical blank blanking frame sync poll hvbjoy
; Entry: any widths
; Exit: at the start of the vertical blank; A changed, widths kept
; Uses: CPU $4212

WaitVblank:
    PHP
    SEP #$20
.inside
    LDA $004212
    BMI .inside             ; already in a vertical blank: wait for its end
.outside
    LDA $004212
    BPL .outside
    PLP
    RTS
