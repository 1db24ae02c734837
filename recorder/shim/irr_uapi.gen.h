/* npx tsc -b hw && node dist/hw/uapi/emit-shim.js > recorder/shim/irr_uapi.gen.h */
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an ioctl's struct points to and which descriptors it gives: the union over all dialects of the uAPI, from the rows
 * of hw/uapi/spec. Tables are sorted by target, then request. target: 1 iommufd and VFIO container, 2 VFIO device,
 * 3 VFIO group. u(x) is the unsigned little-endian number of x_size bytes at offset x of the struct as it was before the
 * call (lengths, selectors) or after it (descriptors). A number that is not in a table has a struct whose length is its
 * first u32, and nothing else to copy.
 */
#ifndef IRR_UAPI_GEN_H
#define IRR_UAPI_GEN_H

#include <stdint.h>
#include "irr_frame.h"

#define IRR_UAPI_DIALECTS "linux-7.2 linux-6.12 hw-queue-v9 hw-queue-v8 hw-queue-v7 hw-queue-v6 hw-queue-v5 hw-queue-v4 vcmdq-v3 vcmdq-v2 vcmdq-v1"

enum irr_len {
	IRR_LEN_FIELD = 1,   /* bytes = u(a) * k */
	IRR_LEN_PRODUCT = 2, /* bytes = u(a) * u(b) */
	IRR_LEN_FIXED = 3,   /* bytes = k */
	IRR_LEN_BITMAP = 4,  /* bytes = 8 * ceil(ceil(u(a) / u(b)) / 64): bits of length a in pages of b; 0 when u(b) is 0 */
};

/*
 * A user pointer at ptr, and how many bytes lie there. dir: 1 the kernel reads them, 2 writes, 3 both. The row applies when
 * the struct has at least need bytes and (sel_size == 0 or (u(sel) & sel_mask) == sel_value). Numbers come from the
 * program: products overflow, lengths lie.
 */
struct irr_nested {
	uint32_t request;
	uint8_t target;
	uint8_t dir;
	uint8_t rule;
	uint8_t sel_size;
	uint16_t sel;
	uint16_t ptr;
	uint16_t need;
	uint16_t a;
	uint16_t b;
	uint8_t a_size, b_size;
	uint8_t ptr_size;
	uint32_t k;
	uint64_t sel_value;
	uint64_t sel_mask;
};

/* A new descriptor, when the call succeeds: s32 at offset at of the struct, 0xffff: the return value. file: enum irr_file. */
struct irr_fd_out {
	uint32_t request;
	uint8_t target;
	uint8_t file;
	uint16_t at;
	uint8_t sel_size;
	uint16_t sel;
	uint64_t sel_value;
	uint64_t sel_mask;
};

/* Arguments that are no struct with a length. arg: 1 pointer to bytes, 2 integer, 3 none, 4 string of at most bytes with its NUL. */
struct irr_fixed {
	uint32_t request;
	uint8_t target;
	uint8_t arg;
	uint16_t bytes;
};

#ifdef __GNUC__
#define IRR_UAPI_TABLE static const __attribute__((unused))
#else
#define IRR_UAPI_TABLE static const
#endif

IRR_UAPI_TABLE struct irr_nested irr_nested_table[] = {
	/* VFIO_IOMMU_UNMAP_DMA.data, vfio_bitmap.data */
	{ .request = 0x3b72, .target = 1, .dir = 3, .rule = IRR_LEN_FIELD, .ptr = 40, .ptr_size = 8, .need = 48, .a = 32, .a_size = 8, .b = 0, .b_size = 0, .k = 1, .sel = 4, .sel_size = 4, .sel_mask = 0x1u, .sel_value = 0x1u },
	/* VFIO_IOMMU_DIRTY_PAGES.data, vfio_iommu_type1_dirty_bitmap_get.bitmap.data */
	{ .request = 0x3b75, .target = 1, .dir = 3, .rule = IRR_LEN_FIELD, .ptr = 40, .ptr_size = 8, .need = 48, .a = 32, .a_size = 8, .b = 0, .b_size = 0, .k = 1, .sel = 4, .sel_size = 4, .sel_mask = 0x4u, .sel_value = 0x4u },
	/* IOMMU_IOAS_ALLOW_IOVAS.allowed_iovas */
	{ .request = 0x3b82, .target = 1, .dir = 1, .rule = IRR_LEN_FIELD, .ptr = 16, .ptr_size = 8, .need = 24, .a = 8, .a_size = 4, .b = 0, .b_size = 0, .k = 16 },
	/* IOMMU_IOAS_IOVA_RANGES.allowed_iovas */
	{ .request = 0x3b84, .target = 1, .dir = 2, .rule = IRR_LEN_FIELD, .ptr = 16, .ptr_size = 8, .need = 24, .a = 8, .a_size = 4, .b = 0, .b_size = 0, .k = 16 },
	/* IOMMU_HWPT_ALLOC.data_uptr */
	{ .request = 0x3b89, .target = 1, .dir = 1, .rule = IRR_LEN_FIELD, .ptr = 32, .ptr_size = 8, .need = 40, .a = 28, .a_size = 4, .b = 0, .b_size = 0, .k = 1 },
	/* IOMMU_GET_HW_INFO.data_uptr */
	{ .request = 0x3b8a, .target = 1, .dir = 2, .rule = IRR_LEN_FIELD, .ptr = 16, .ptr_size = 8, .need = 24, .a = 12, .a_size = 4, .b = 0, .b_size = 0, .k = 1 },
	/* IOMMU_HWPT_GET_DIRTY_BITMAP.data */
	{ .request = 0x3b8c, .target = 1, .dir = 3, .rule = IRR_LEN_BITMAP, .ptr = 40, .ptr_size = 8, .need = 48, .a = 24, .a_size = 8, .b = 32, .b_size = 8, .k = 0 },
	/* IOMMU_HWPT_INVALIDATE.data_uptr */
	{ .request = 0x3b8d, .target = 1, .dir = 1, .rule = IRR_LEN_PRODUCT, .ptr = 8, .ptr_size = 8, .need = 28, .a = 20, .a_size = 4, .b = 24, .b_size = 4, .k = 0 },
	/* IOMMU_VIOMMU_ALLOC.data_uptr */
	{ .request = 0x3b90, .target = 1, .dir = 3, .rule = IRR_LEN_FIELD, .ptr = 32, .ptr_size = 8, .need = 40, .a = 24, .a_size = 4, .b = 0, .b_size = 0, .k = 1 },
	/* IOMMU_VCMDQ_ALLOC.data_uptr */
	{ .request = 0x3b94, .target = 1, .dir = 1, .rule = IRR_LEN_FIELD, .ptr = 24, .ptr_size = 8, .need = 32, .a = 20, .a_size = 4, .b = 0, .b_size = 0, .k = 1, .sel = 0, .sel_size = 4, .sel_mask = 0xffffffffu, .sel_value = 0x20u },
	/* IOMMU_TEST_CMD.access_rw.uptr */
	{ .request = 0x3ba0, .target = 1, .dir = 3, .rule = IRR_LEN_FIELD, .ptr = 32, .ptr_size = 8, .need = 40, .a = 24, .a_size = 8, .b = 0, .b_size = 0, .k = 1, .sel = 4, .sel_size = 4, .sel_mask = 0xffffffffu, .sel_value = 0x8u },
	/* IOMMU_TEST_CMD.dirty.uptr */
	{ .request = 0x3ba0, .target = 1, .dir = 1, .rule = IRR_LEN_BITMAP, .ptr = 48, .ptr_size = 8, .need = 56, .a = 32, .a_size = 8, .b = 40, .b_size = 8, .k = 0, .sel = 4, .sel_size = 4, .sel_mask = 0xffffffffu, .sel_value = 0xdu },
	/* VFIO_DEVICE_FEATURE.data, vfio_device_feature_dma_logging_control.ranges */
	{ .request = 0x3b75, .target = 2, .dir = 1, .rule = IRR_LEN_FIELD, .ptr = 24, .ptr_size = 8, .need = 32, .a = 16, .a_size = 4, .b = 0, .b_size = 0, .k = 16, .sel = 4, .sel_size = 4, .sel_mask = 0xffffu, .sel_value = 0x6u },
	/* VFIO_DEVICE_FEATURE.data, vfio_device_feature_dma_logging_report.bitmap */
	{ .request = 0x3b75, .target = 2, .dir = 3, .rule = IRR_LEN_BITMAP, .ptr = 32, .ptr_size = 8, .need = 40, .a = 16, .a_size = 8, .b = 24, .b_size = 8, .k = 0, .sel = 4, .sel_size = 4, .sel_mask = 0xffffu, .sel_value = 0x8u },
	/* VFIO_DEVICE_BIND_IOMMUFD.token_uuid_ptr */
	{ .request = 0x3b76, .target = 2, .dir = 1, .rule = IRR_LEN_FIXED, .ptr = 16, .ptr_size = 8, .need = 24, .a = 0, .a_size = 0, .b = 0, .b_size = 0, .k = 16, .sel = 4, .sel_size = 4, .sel_mask = 0x1u, .sel_value = 0x1u },
};

IRR_UAPI_TABLE struct irr_fd_out irr_fd_out_table[] = {
	/* IOMMU_FAULT_QUEUE_ALLOC.out_fault_fd */
	{ .request = 0x3b8e, .target = 1, .file = IRR_FILE_FAULT, .at = 12 },
	/* IOMMU_VEVENTQ_ALLOC.out_veventq_fd */
	{ .request = 0x3b93, .target = 1, .file = IRR_FILE_VEVENTQ, .at = 24 },
	/* IOMMU_TEST_CMD.create_access.out_access_fd */
	{ .request = 0x3ba0, .target = 1, .file = IRR_FILE_ACCESS, .at = 16, .sel = 4, .sel_size = 4, .sel_mask = 0xffffffffu, .sel_value = 0x5u },
	/* IOMMU_TEST_OP_DMABUF_GET returns it */
	{ .request = 0x3ba0, .target = 1, .file = IRR_FILE_DMABUF, .at = 0xffff, .sel = 4, .sel_size = 4, .sel_mask = 0xffffffffu, .sel_value = 0x16u },
	/* VFIO_DEVICE_GET_GFX_DMABUF returns it */
	{ .request = 0x3b73, .target = 2, .file = IRR_FILE_DMABUF, .at = 0xffff },
	/* VFIO_DEVICE_FEATURE returns it */
	{ .request = 0x3b75, .target = 2, .file = IRR_FILE_DMABUF, .at = 0xffff, .sel = 4, .sel_size = 4, .sel_mask = 0x5ffffu, .sel_value = 0x1000bu },
	/* VFIO_GROUP_GET_DEVICE_FD returns it */
	{ .request = 0x3b6a, .target = 3, .file = IRR_FILE_VFIO_DEVICE, .at = 0xffff },
};

IRR_UAPI_TABLE struct irr_fixed irr_fixed_table[] = {
	/* VFIO_GET_API_VERSION */
	{ .request = 0x3b64, .target = 1, .arg = 3, .bytes = 0 },
	/* VFIO_CHECK_EXTENSION */
	{ .request = 0x3b65, .target = 1, .arg = 2, .bytes = 0 },
	/* VFIO_SET_IOMMU */
	{ .request = 0x3b66, .target = 1, .arg = 2, .bytes = 0 },
	/* VFIO_IOMMU_ENABLE */
	{ .request = 0x3b73, .target = 1, .arg = 3, .bytes = 0 },
	/* VFIO_IOMMU_DISABLE */
	{ .request = 0x3b74, .target = 1, .arg = 3, .bytes = 0 },
	/* VFIO_DEVICE_RESET */
	{ .request = 0x3b6f, .target = 2, .arg = 3, .bytes = 0 },
	/* VFIO_DEVICE_GET_GFX_DMABUF */
	{ .request = 0x3b73, .target = 2, .arg = 1, .bytes = 4 },
	/* VFIO_GROUP_SET_CONTAINER */
	{ .request = 0x3b68, .target = 3, .arg = 1, .bytes = 4 },
	/* VFIO_GROUP_UNSET_CONTAINER */
	{ .request = 0x3b69, .target = 3, .arg = 3, .bytes = 0 },
	/* VFIO_GROUP_GET_DEVICE_FD */
	{ .request = 0x3b6a, .target = 3, .arg = 4, .bytes = 4096 },
};

#endif
