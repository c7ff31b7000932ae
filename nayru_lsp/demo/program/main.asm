; A small SNES program: it boots, waits for vertical blanks, reads the joypad, moves a sprite and shows a line of text.
; Assembles with Asar 1.81 or newer: asar main.asm demo.sfc

lorom

incsrc "ram.asm"

org $008000

incsrc "boot.asm"
incsrc "nmi.asm"
incsrc "joypad.asm"
incsrc "dma.asm"
incsrc "sprite.asm"
incsrc "text.asm"

incsrc "data.asm"

; The cartridge header and the vectors
org $00FFC0
    db "NAYRU DEMO           "     ; title, 21 characters
    db $20                          ; LoROM, SlowROM
    db $00, $05, $00, $01, $00, $00 ; ROM only, 32 KiB, no SRAM, North America
    dw $FFFF, $0000                 ; checksum: Asar fills it in

org $00FFEA
    dw Nmi
org $00FFFC
    dw Reset
