"""What the accuracy bench takes for true on a real GPU."""

from dataclasses import replace

import pytest

from bench.known_work import Phase, padded_flop, tile_of


@pytest.mark.parametrize(
    ("kernel", "tile"),
    [
        ("sm90_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x256x64_warpgroupsize2x1x1", (128, 256)),
        ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NTN", (128, 256)),
        ("ampere_fp16_s16816gemm_fp16_256x128_ldg8_f2f_stages_64x3_tn", (256, 128)),
        ("cutlass_80_tensorop_d884gemm_64x64_16x4_tn_align1", (64, 64)),
        ("void at::native::vectorized_elementwise_kernel<4, float>", None),
        ("", None),
    ],
)
def test_the_tile_stands_in_the_kernels_name(kernel: str, tile: tuple[int, int] | None) -> None:
    assert tile_of(kernel) == tile


def test_padding_is_whole_tiles() -> None:
    phase = Phase(name="odd", m=4104, n=4104, k=64)
    assert padded_flop(phase, (128, 256)) == 2 * 4224 * 4352 * 64
    assert padded_flop(replace(phase, m=4096, n=4096), (128, 256)) == 2 * 4096 * 4096 * 64
