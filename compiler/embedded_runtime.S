// The runtime as one relocatable object, for output that needs no trellis at run time. RUNTIME_OBJECT is its path.
        .section .rodata.embedded_runtime, "a"
        .globl trellis_embedded_runtime, trellis_embedded_runtime_end
        .hidden trellis_embedded_runtime, trellis_embedded_runtime_end
        .balign 16
trellis_embedded_runtime:
        .incbin RUNTIME_OBJECT
trellis_embedded_runtime_end:
        .section .note.GNU-stack, "", %progbits
