; Variables. $0000-$00FF is the direct page (D = $0000).

FrameReady  = $10       ; set by the NMI, cleared by the main loop
FrameCount  = $11
JoyHeld     = $12       ; 16 bits: what is held now
JoyPressed  = $14       ; 16 bits: what was pressed in this frame
SpriteX     = $16
SpriteY     = $17
Brightness  = $18

OamBuffer   = $0200     ; 544 bytes: 512 of objects, 32 of their high bits

; Directions in the high byte of JoyHeld and JoyPressed
!JoyRight = $01
!JoyLeft  = $02
!JoyDown  = $04
!JoyUp    = $08
