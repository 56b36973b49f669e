"""Vector arithmetic as LLVM IR: the vocabulary from which the intrinsics are written.

Numba's own loops do not hold a register tile and LLVM turns ``llvm.exp`` on vectors into scalar libm calls, so what
must be fast is emitted here, for any number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from darknet_py.kernels.jit import HAS_BFLOAT16, HAS_FMA

__all__ = ["F32", "I16", "I32", "I64", "Lanes", "emit_cases"]

F32 = ir.FloatType()
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)


class _BFloat16(ir.types.Type):
    """LLVM's type, which llvmlite has no name for."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"


#: LLVM's bfloat16 intrinsics took integers before it had the type.
_NAMED_BFLOAT16 = llvm.llvm_version_info[0] >= 17
_BFLOAT16 = _BFloat16()


class Lanes:
    """Emits float32 vector operations of `lanes` lanes; addresses are 64-bit integers."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.type = ir.VectorType(F32, lanes)
        self.int_type = ir.VectorType(I32, lanes)

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.type, [ir.Constant(F32, value)] * self.lanes)

    def int_constant(self, value: int) -> ir.Constant:
        return ir.Constant(self.int_type, [ir.Constant(I32, value)] * self.lanes)

    def load(self, address: ir.Value) -> ir.Value:
        value = self.builder.load(self.builder.inttoptr(address, self.type.as_pointer()))
        value.align = 4
        return value

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.builder.inttoptr(address, self.type.as_pointer())).align = 4

    def store_first(self, value: ir.Value, address: ir.Value, count: ir.Value) -> None:
        """Store only the first `count` (int64) lanes."""
        self._store_masked(value, address, count, "f32", 4)

    def _store_masked(self, value: ir.Value, address: ir.Value, count: ir.Value, name: str, align: int) -> None:
        builder = self.builder
        wide = ir.VectorType(I64, self.lanes)
        limit = self._splat(count, wide)
        order = ir.Constant(wide, [ir.Constant(I64, i) for i in range(self.lanes)])
        mask = builder.icmp_signed("<", order, limit)
        pointer = builder.inttoptr(address, value.type.as_pointer())
        mask_type = ir.VectorType(ir.IntType(1), self.lanes)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [value.type, pointer.type, I32, mask_type]),
            f"llvm.masked.store.v{self.lanes}{name}.p0",
        )
        builder.call(function, [value, pointer, ir.Constant(I32, align), mask])

    def prefetch(self, address: ir.Value) -> None:
        """Ask for the line at `address` in the second-level cache; never faults."""
        byte = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32]), "llvm.prefetch.p0"
        )
        read, second_level, data = (ir.Constant(I32, value) for value in (0, 2, 1))
        self.builder.call(function, [self.builder.inttoptr(address, byte), read, second_level, data])

    def opaque(self, value: ir.Value) -> ir.Value:
        """The int64 `value`, of which LLVM then knows nothing: a way to keep it from rearranging loops."""
        same = ir.InlineAsm(ir.FunctionType(I64, [I64]), "", "=r,0", side_effect=False)
        return self.builder.call(same, [value])

    def broadcast(self, address: ir.Value) -> ir.Value:
        scalar = self.builder.load(self.builder.inttoptr(address, F32.as_pointer()))
        return self._splat(scalar, self.type)

    def spread(self, vector: ir.Value, lane: int) -> ir.Value:
        """One lane of a vector of any number of them, in all lanes."""
        mask = ir.Constant(self.int_type, [ir.Constant(I32, lane)] * self.lanes)
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def fence(self) -> None:
        """Keep LLVM from moving loads and stores across this place; no instruction."""
        nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", side_effect=True)
        self.builder.call(nothing, [])

    def _splat(self, scalar: ir.Value, vector: ir.VectorType) -> ir.Value:
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(self.int_type, [0] * self.lanes))

    def pick(self, a: ir.Value, b: ir.Value, lanes: ir.Value) -> ir.Value:
        """Those of the lanes of `a` and `b`, 0 to 31, that `lanes` names; an instruction of AVX-512."""
        name = "llvm.x86.avx512.vpermi2var.ps.512"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.type, [self.type, self.int_type, self.type]), name
        )
        return self.builder.call(function, [a, lanes, b])

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a*b + c, in one rounding where the CPU has the instruction."""
        if not HAS_FMA:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.type, [self.type] * 3), f"llvm.fma.v{self.lanes}f32"
        )
        return self.builder.call(function, [a, b, c])

    def select(self, comparison: str, a: ir.Value, b: ir.Value, then: ir.Value, otherwise: ir.Value) -> ir.Value:
        """`then` where `a comparison b` (ordered: false with NaN), else `otherwise`."""
        return self.builder.select(self.builder.fcmp_ordered(comparison, a, b), then, otherwise)

    def load_pairs(self, address: ir.Value) -> ir.Value:
        """A vector of `lanes` pairs of bfloat16, each 32 bits."""
        value = self.builder.load(self.builder.inttoptr(address, self.int_type.as_pointer()))
        value.align = 4
        return value

    def broadcast_pair(self, address: ir.Value) -> ir.Value:
        scalar = self.builder.load(self.builder.inttoptr(address, I32.as_pointer()))
        return self._splat(scalar, self.int_type)

    def add_pairs(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """c + a.high * b.high + a.low * b.low for vectors `a` and `b` of pairs of bfloat16 and `c` of float32.

        As an instruction it takes denormals for zero; emulated, it does not.
        """
        builder = self.builder
        if HAS_BFLOAT16:
            pairs = ir.VectorType(_BFLOAT16, 2 * self.lanes) if _NAMED_BFLOAT16 else self.int_type
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(self.type, [self.type, pairs, pairs]),
                f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}",
            )
            return builder.call(function, [c, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])
        high, sixteen = self.int_constant(-0x10000), self.int_constant(16)
        a_high, b_high = (builder.bitcast(builder.and_(pair, high), self.type) for pair in (a, b))
        a_low, b_low = (builder.bitcast(builder.shl(pair, sixteen), self.type) for pair in (a, b))
        return self.fma(a_low, b_low, self.fma(a_high, b_high, c))

    def fma_lane(self, a: ir.Value, lane: int, b: ir.Value, c: ir.Value) -> ir.Value:
        """As `fma`, with one lane of `a`."""
        return self.fma(self.spread(a, lane), b, c)

    def add_pairs_lane(self, a: ir.Value, lane: int, b: ir.Value, c: ir.Value) -> ir.Value:
        """As `add_pairs`, with one pair of `a`: floats, the low one of each pair first."""
        builder = self.builder
        b_high = builder.bitcast(builder.and_(b, self.int_constant(-0x10000)), self.type)
        b_low = builder.bitcast(builder.shl(b, self.int_constant(16)), self.type)
        return self.fma_lane(a, 2 * lane, b_low, self.fma_lane(a, 2 * lane + 1, b_high, c))

    def load_bfloat16(self, address: ir.Value) -> ir.Value:
        """A vector of floats from 2 * `lanes` bytes."""
        builder = self.builder
        half = ir.VectorType(I16, self.lanes)
        value = builder.load(builder.inttoptr(address, half.as_pointer()))
        value.align = 2
        return builder.bitcast(builder.shl(builder.zext(value, self.int_type), self.int_constant(16)), self.type)

    def larger_pairs(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The larger of each two bfloat16 values, for float32 vectors that are pairs of them; `b` where one is NaN."""
        builder = self.builder
        high, sixteen = self.int_constant(-0x10000), self.int_constant(16)
        bits = [builder.bitcast(pair, self.int_type) for pair in (a, b)]
        a_high, b_high = (builder.bitcast(builder.and_(pair, high), self.type) for pair in bits)
        a_low, b_low = (builder.bitcast(builder.shl(pair, sixteen), self.type) for pair in bits)
        above = builder.bitcast(self.select(">", a_high, b_high, a_high, b_high), self.int_type)
        below = builder.bitcast(self.select(">", a_low, b_low, a_low, b_low), self.int_type)
        return builder.bitcast(builder.or_(above, builder.lshr(below, sixteen)), self.type)

    def store_bfloat16(self, value: ir.Value, address: ir.Value, count: ir.Value | None = None) -> None:
        """Round to bfloat16 and store 2 * `lanes` bytes, or only the first `count` (int64) lanes."""
        rounded = self._round_to_bfloat16(value)
        if count is None:
            self.builder.store(rounded, self.builder.inttoptr(address, rounded.type.as_pointer())).align = 2
        else:
            self._store_masked(rounded, address, count, "i16", 2)

    def store_bfloat16_twice(self, first: ir.Value, second: ir.Value, address: ir.Value) -> None:
        """Round two vectors to bfloat16 and store them one after the other."""
        builder = self.builder
        if not HAS_BFLOAT16:
            self.store_bfloat16(first, address)
            self.store_bfloat16(second, builder.add(address, ir.Constant(I64, 2 * self.lanes)))
            return
        whole = ir.VectorType(_BFLOAT16, 32) if _NAMED_BFLOAT16 else ir.VectorType(I16, 32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(whole, [self.type] * 2), "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
        )
        # The instruction puts its second operand below.
        value = builder.bitcast(builder.call(function, [second, first]), ir.VectorType(I16, 32))
        builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 2

    def _round_to_bfloat16(self, value: ir.Value) -> ir.Value:
        """The bits of bfloat16: to nearest, ties to even; NaN stays NaN."""
        builder = self.builder
        half = ir.VectorType(I16, self.lanes)
        if HAS_BFLOAT16:
            rounded = ir.VectorType(_BFLOAT16, self.lanes) if _NAMED_BFLOAT16 else half
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(rounded, [self.type]), "llvm.x86.avx512bf16.cvtneps2bf16.512"
            )
            return builder.bitcast(builder.call(function, [value]), half)
        bits, sixteen = builder.bitcast(value, self.int_type), self.int_constant(16)
        odd = builder.and_(builder.lshr(bits, sixteen), self.int_constant(1))
        up = builder.add(builder.add(bits, odd), self.int_constant(0x7FFF))
        is_nan = builder.fcmp_unordered("uno", value, value)
        quiet = builder.or_(bits, self.int_constant(0x400000))
        return builder.trunc(builder.lshr(builder.select(is_nan, quiet, up), sixteen), half)

    def exp(self, x: ir.Value) -> ir.Value:
        """e**x to about 1 ulp; saturates at the ends of the float32 range, keeps NaN.

        Cody-Waite reduction to |r| <= ln(2)/2 and the degree-5 minimax polynomial of Cephes' expf.
        """
        b = self.builder
        x = self.clip(x, -87.3, 88.3)
        # Adding 1.5 * 2**23 rounds to an integer in the low bits: no roundps, which plain SSE2 lacks.
        magic = self.constant(12582912.0)
        shifted = self.fma(x, self.constant(1.44269504088896341), magic)
        n = b.fsub(shifted, magic)
        r = self.fma(n, self.constant(-0.693359375), x)
        r = self.fma(n, self.constant(2.12194440e-4), r)
        p = self.constant(1.9875691500e-4)
        for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            p = self.fma(p, r, self.constant(c))
        p = self.fma(p, b.fmul(r, r), b.fadd(r, self.constant(1.0)))
        bits = b.shl(b.bitcast(shifted, self.int_type), self.int_constant(23))
        scale = b.bitcast(b.add(bits, self.int_constant(127 << 23)), self.type)
        return b.fmul(p, scale)

    def exp_of_activation(self, x: ir.Value) -> ir.Value:
        """e**x for -87 < x < 88, with a relative error of 1e-7 * (1 + |x|): 2**n times a polynomial for 2**f.

        In fewer steps than `exp`, as x * log2(e) is rounded before it is split.
        """
        b = self.builder
        magic = self.constant(12582912.0)  # as in `exp`
        exponent = b.fmul(x, self.constant(1.44269504088896341))
        shifted = b.fadd(exponent, magic)
        f = b.fsub(exponent, b.fsub(shifted, magic))
        # The polynomial of least relative error, 7.5e-8, for |f| <= 1/2.
        p = self.constant(1.3276472e-3)
        for c in (9.6755419e-3, 5.5507131e-2, 2.4022120e-1, 6.9314694e-1, 1.0000001):
            p = self.fma(p, f, self.constant(c))
        bits = b.add(b.bitcast(p, self.int_type), b.shl(b.bitcast(shifted, self.int_type), self.int_constant(23)))
        return b.bitcast(bits, self.type)

    def clip(self, x: ir.Value, low: float, high: float) -> ir.Value:
        """`x` between two constants; NaN stays NaN."""
        x = self.select("<", x, self.constant(low), self.constant(low), x)
        return self.select(">", x, self.constant(high), self.constant(high), x)

    def logistic(self, x: ir.Value, times: ir.Value | None = None) -> ir.Value:
        """`times` (1 if left out) / (1 + e**-x)."""
        one = self.constant(1.0)
        e = self.exp_of_activation(self.clip(self.builder.fneg(x), -80.0, 80.0))
        return self.builder.fdiv(one if times is None else times, self.builder.fadd(one, e))

    def tanh(self, x: ir.Value) -> ir.Value:
        """2/(1+e^(-2x)) - 1, as Darknet computes it."""
        b = self.builder
        e = self.exp(b.fmul(x, self.constant(-2.0)))
        return b.fsub(b.fdiv(self.constant(2.0), b.fadd(self.constant(1.0), e)), self.constant(1.0))

    def floor(self, x: ir.Value) -> ir.Value:
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.type, [self.type]), f"llvm.floor.v{self.lanes}f32"
        )
        return self.builder.call(function, [x])


def emit_cases(builder: ir.IRBuilder, code: ir.Value, cases: Mapping[int, Callable[[], None]]) -> None:
    """Emit a switch; a `code` of none of the cases does nothing."""
    after = builder.append_basic_block("after")
    switch = builder.switch(code, after)
    for value, emit in cases.items():
        block = builder.append_basic_block(f"case{value}")
        switch.add_case(ir.Constant(I64, value), block)
        builder.position_at_end(block)
        emit()
        builder.branch(after)
    builder.position_at_end(after)
