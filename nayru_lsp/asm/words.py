"""The words of the Asar dialect: directives, other processors' mnemonics, built-in functions and defines."""

from __future__ import annotations

DATA = frozenset({"db", "dw", "dl", "dd"})
MAPPERS = frozenset({"lorom", "hirom", "exlorom", "exhirom", "sfxrom", "norom", "fullsa1rom", "sa1rom"})
FREESPACE = frozenset({"freespace", "freecode", "freedata", "segment"})
INCLUDES = frozenset({"incsrc", "incbin"})      # `include` and `includefrom` only guard against being a main file

# Arguments are expressions, split on commas.
EXPRESSIONS = DATA | frozenset("""
    org base skip fill pad fillbyte fillword filllong filldword padbyte padword padlong paddword dpbase freespacebyte
    warnpc if elseif while assert print error warn prot
""".split())

# Arguments are words of their own.
FREE_FORM = MAPPERS | FREESPACE | INCLUDES | frozenset("""
    pushpc pullpc pushbase pullbase bank optimize arch freespace_settings autoclean include includefrom includeonce
    asar struct endstruct macro endmacro function namespace pushns pullns global undef else endif endwhile for endfor
    check warnings cleartable pushtable pulltable reset spcblock endspcblock rep table math header fastrom startpos
    autoclear xkas
""".split())

DIRECTIVES = EXPRESSIONS | FREE_FORM

OPENERS = {"if": "endif", "while": "endwhile", "for": "endfor", "macro": "endmacro", "struct": "endstruct",
           "spcblock": "endspcblock"}

SPC700 = frozenset("""
    ADC ADDW AND AND1 ASL BBC BBS BCC BCS BEQ BMI BNE BPL BRA BRK BVC BVS CALL CBNE CLR1 CLRC CLRP CLRV CMP CMPW DAA
    DAS DBNZ DEC DECW DI DIV EI EOR EOR1 INC INCW JMP LSR MOV MOV1 MOVW MUL NOP NOT1 NOTC OR OR1 PCALL POP PUSH RET
    RETI ROL ROR SBC SET1 SETC SETP SLEEP STOP SUBW TCALL TCLR TSET XCN
""".split()) | {f"{name}{bit}" for name in ("BBC", "BBS", "CLR", "SET") for bit in range(8)}

SUPERFX = frozenset("""
    STOP NOP CACHE LSR ROL ROR BRA BGE BLT BNE BEQ BPL BMI BCC BCS BVC BVS TO WITH STW STB LOOP ALT1 ALT2 ALT3 LDW LDB
    PLOT RPIX SWAP COLOR CMODE NOT ADD ADC SUB SBC CMP MERGE AND BIC MULT UMULT SBK LINK SEX ASR DIV2 JMP LJMP LOB
    FMULT LMULT IBT LMS SMS FROM HIB OR XOR INC GETC RAMB ROMB DEC GETB GETBH GETBL GETBS IWT LM SM LEA MOVE MOVES MOVEW
    MOVEB
""".split())

FUNCTIONS = frozenset("""
    sqrt sin cos tan asin acos atan arcsin arccos arctan log log2 log10 ceil floor round read1 read2 read3 read4
    canread canread1 canread2 canread3 canread4 readfile1 readfile2 readfile3 readfile4 canreadfile canreadfile1
    canreadfile2 canreadfile3 canreadfile4 filesize getfilestatus defined snestopc pctosnes realbase pc max min clamp
    safediv select bank not equal notequal less lessequal greater greaterequal and or nand nor xor sizeof objectsize
    datasize stringsequal stringsequalnocase char stringlength bin dec hex double
""".split())

BUILT_IN_DEFINES = frozenset({"assembler", "assembler_ver", "assembler_time"})
PRINT_WORDS = frozenset({"pc", "bytes", "freespaceuse"})
