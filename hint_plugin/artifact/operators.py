"""What the code of an artifact may call: arithmetic on tensors, numbers, lists and text, and nothing else.

No operator here reads or writes a file, changes what a tensor's memory is, or calls back into Python.
"""

from __future__ import annotations

_TENSORS_WORDS = """
    abs absolute acos acosh add addcdiv addcmul addmm all allclose amax amin aminmax any arange arccos
    arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan atan2
    atanh atleast_1d atleast_2d atleast_3d avg_pool1d baddbmm bincount bitwise_and bitwise_not
    bitwise_or bitwise_xor block_diag bmm broadcast_tensors broadcast_to bucketize cartesian_prod cat
    cdist ceil celu chunk clamp clamp_max clamp_min clip clone column_stack complex concat concatenate
    conj contiguous copy copysign cos cosh cosine_similarity count_nonzero cross cummax cummin cumprod
    cumsum deg2rad det detach diag diag_embed diagflat diagonal diff digamma dist div divide dot dropout
    dsplit dstack einsum elu embedding empty empty_like eq equal erf erfc erfinv exp exp2 expand
    expand_as expm1 eye fill flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod
    frac full full_like gather ge gelu glu greater greater_equal gt hardtanh heaviside hsplit hstack
    hypot i0 imag index index_add index_copy index_fill index_put index_reduce index_select inner
    inverse isclose isfinite isin isinf isnan isneginf isposinf isreal kron kthvalue layer_norm ldexp le
    leaky_relu lerp less less_equal lgamma linalg_cross linalg_det linalg_diagonal linalg_eigh
    linalg_eigvalsh linalg_inv linalg_matmul linalg_matrix_norm linalg_norm linalg_solve linalg_vecdot
    linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp
    logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logspace logsumexp lt
    masked_fill masked_scatter masked_select matmul matrix_exp matrix_power max maximum mean median
    meshgrid min minimum mish mm mode movedim moveaxis mul multiply mv mvlgamma nan_to_num nanmean
    nansum narrow ne neg negative new_empty new_full new_ones new_zeros nonzero nonzero_numpy norm
    normal not_equal numpy_T one_hot ones ones_like outer pad pairwise_distance permute pinverse polar
    polygamma positive pow prelu prod quantile rad2deg rand rand_like randn randn_like ravel real
    reciprocal relu relu6 remainder repeat repeat_interleave reshape reshape_as resolve_conj resolve_neg
    roll rot90 round rsqrt rsub scatter scatter_add scatter_reduce searchsorted select select_scatter
    selu sgn sigmoid sign signbit silu sin sinc sinh slice slice_scatter softmax softplus softshrink
    sort special_bessel_j0 special_bessel_j1 special_entr special_erf special_erfc special_expm1
    special_i0 special_i1 special_log1p special_logit special_sinc special_spherical_bessel_j0
    special_xlogy split split_with_sizes sqrt square squeeze stack std std_mean sub subtract sum svd
    swapaxes swapdims t take take_along_dim tan tanh tensor tensor_split tensordot threshold tile topk
    trace transpose trapezoid trapz triangular_solve tril tril_indices triu triu_indices true_divide
    trunc type_as unbind unflatten unfold unique_dim unsqueeze vander var var_mean vdot view view_as
    view_as_complex view_as_real vsplit vstack where xlogy zero zeros zeros_like
    """
#: Operators of TorchScript on tensors; each also with ``_`` at its end (in place), where torch has that.
TENSORS = frozenset(_TENSORS_WORDS.split())

_OTHERS_WORDS = """
    __and__ __contains__ __derive_index __getitem__ __is__ __isnot__ __lshift__ __not__ __or__
    __range_length __round_to_zero_floordiv __rshift__ __xor__ __iand__ __ior__ __ixor__ _set_item Bool
    Complex Delete Float FloatImplicit Int IntImplicit ScalarImplicit Size append capitalize center chr
    clear count cpu cuda degrees device dict dim endswith extend factorial find floordiv format gcd get
    get_device grad has_torch_function hash hex insert is_complex is_contiguous is_floating_point
    is_nonzero is_same_size is_scripting isalpha isdigit item items join keys len list lower lstrip
    mathremainder numel ord percentFormat pop popitem radians remove replace requires_grad_ result_type
    reverse rstrip size sorted startswith storage_offset str stride strip sym_numel sym_size
    sym_storage_offset sym_stride title to update upper values warn is_autocast_enabled
    is_autocast_cpu_enabled is_grad_enabled
    """
#: Operators that tell about a tensor, or on numbers, lists, dictionaries and text.
OTHERS = frozenset(_OTHERS_WORDS.split())

_PRIM_WORDS = """
    AutogradAdd AutogradAnyNonZero AutogradZero BroadcastSizes CallFunction CallMethod Constant
    CreateObject DictConstruct GetAttr If ListConstruct ListUnpack Loop NumToTensor RaiseException
    SetAttr Store Load TupleConstruct TupleIndex TupleSlice TupleUnpack Uninitialized abs data device
    dtype grad id is_cpu is_cuda isinstance itemsize layout max min name ndim rangelist requires_grad
    shape tolist unchecked_cast unchecked_unwrap_optional unsqueeze unwrap_optional
    """
#: Of the namespace prim: what TorchScript's own statements become.
PRIM = frozenset(_PRIM_WORDS.split())


def is_allowed(namespace: str, name: str) -> bool:
    """Whether an operator is on the lists; namespace "aten" or "prim"."""
    if namespace == "prim":
        return name in PRIM
    return namespace == "aten" and (name in OTHERS or name in TENSORS or name.removesuffix("_") in TENSORS)
