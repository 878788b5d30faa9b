/* A Vulkan layer that mends one mistake in the shaders of cubecl-spirv 0.11.3.
 *
 * Where the driver lacks VK_KHR_workgroup_memory_explicit_layout, `lower_shared_implicit` declares shared memory
 * as a pointer to a pointer (the types of the variable and of its address are exchanged), which spirv-val
 * refuses: every kernel with shared memory then computes nonsense or crashes the driver. Here each such variable
 * gets the type that its uses have, so that the kernels can be held against the CPU on a software driver.
 *
 * Nothing else is changed. See README.md.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

enum { HEADER = 5, OP_TYPE_POINTER = 32, OP_VARIABLE = 59, WORKGROUP = 4 };

/* One instance and one device at a time are enough for a check. */
static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;
static PFN_vkCreateShaderModule next_create_shader_module;

static void mend(uint32_t *code, size_t words) {
    uint32_t bound = code[3];
    uint32_t *pointee = calloc(bound, sizeof *pointee); /* of each pointer into shared memory, else 0 */
    if (!pointee) return;
    for (size_t at = HEADER; at < words && code[at] >> 16; at += code[at] >> 16) {
        uint32_t *op = code + at;
        switch (op[0] & 0xffff) {
        case OP_TYPE_POINTER: /* result, storage class, pointee */
            if (op[2] == WORKGROUP) pointee[op[1]] = op[3];
            break;
        case OP_VARIABLE: /* result type, result, storage class */
            if (op[3] == WORKGROUP && pointee[pointee[op[1]]]) op[1] = pointee[op[1]];
            break;
        }
    }
    free(pointee);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_shader_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                           const VkAllocationCallbacks *allocator,
                                                           VkShaderModule *module) {
    uint32_t *code = malloc(info->codeSize);
    if (!code) return VK_ERROR_OUT_OF_HOST_MEMORY;
    memcpy(code, info->pCode, info->codeSize);
    mend(code, info->codeSize / sizeof *code);
    VkShaderModuleCreateInfo mended = *info;
    mended.pCode = code;
    VkResult result = next_create_shader_module(device, &mended, allocator, module);
    free(code);
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator, VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    return ((PFN_vkCreateInstance)next_instance_proc(NULL, "vkCreateInstance"))(info, allocator, instance);
}

static VkInstance last_instance;

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *device) {
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateDevice next = (PFN_vkCreateDevice)instance_proc(last_instance, "vkCreateDevice");
    VkResult result = next(gpu, info, allocator, device);
    if (result == VK_SUCCESS)
        next_create_shader_module = (PFN_vkCreateShaderModule)next_device_proc(*device, "vkCreateShaderModule");
    return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)device_proc;
    if (!strcmp(name, "vkCreateShaderModule")) return (PFN_vkVoidFunction)create_shader_module;
    return next_device_proc(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name) {
    if (instance) last_instance = instance;
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)instance_proc;
    if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
    if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)device_proc;
    return instance ? next_instance_proc(instance, name) : NULL;
}

VK_LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = instance_proc;
    interface->pfnGetDeviceProcAddr = device_proc;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
