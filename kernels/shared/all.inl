// All single-source kernels.
#pragma once

#include "kernels/shared/layout.inl"
#include "kernels/shared/logits.inl"
#include "kernels/shared/mask.inl"
#include "kernels/shared/norm.inl"
#include "kernels/shared/optim.inl"
#include "kernels/shared/pixels.inl"
#include "kernels/shared/pointwise.inl"
#include "kernels/shared/resize.inl"
