/*
 * Shows how Xen's own libelf reads kernels: what each is accepted for, its addresses, and the memory it loads to.
 *
 * Usage: libelf PATH-OF-LIBXENGUEST
 *
 * Standard input, for each kernel: one byte of flags (1: for a PVH domain, 2: load it too), its length as 8 bytes, little
 * endian, and its bytes. Standard output, for each kernel: a line of NAME=VALUE pairs; with `loaded=N`, N bytes of memory
 * follow it.
 *
 * libelf's structures are declared here as the library of Xen 4.17 has them: its header is not among those installed. They
 * are checked against what the library itself logs; where that differs, the line says `layout=unknown`.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096ull
/* A kernel that takes more memory is not loaded. */
#define MAX_LOADED (96ull << 20)

struct elf_binary {
    const void *image_base;
    size_t size;
    char class, data;
    uintptr_t ehdr, sec_strtab, sym_tab;
    uint64_t sym_strtab;
    char *dest_base;
    size_t dest_size;
    uint64_t pstart, pend, reloc_offset, bsd_symtab_pstart, bsd_symtab_pend;
    void *xdest_base;
    uint64_t xdest_size;
    void *log_callback, *log_caller_data;
    bool verbose;
    const char *broken;
    char room[512];
};

struct elf_dom_parms {
    uintptr_t guest_info, elf_note_start, elf_note_end;
    struct { int type; const char *name; uint64_t data; } elf_notes[19];
    char guest_os[16], guest_ver[16], xen_ver[16], loader[16];
    int pae;
    bool bsd_symtab, unmapped_initrd;
    uint64_t virt_base, virt_entry, virt_hypercall, virt_hv_start_low, p2m_base, elf_paddr_offset;
    uint32_t f_supported, f_required, phys_entry;
    uint64_t virt_kstart, virt_kend;
    char room[4096];
};

typedef void log_fn(struct elf_binary *, void *, bool, const char *, va_list);
static int (*elf_init)(struct elf_binary *, const char *, size_t);
static void (*elf_set_log)(struct elf_binary *, log_fn *, void *, bool);
static void (*elf_parse_binary)(struct elf_binary *);
static int (*elf_xen_parse)(struct elf_binary *, struct elf_dom_parms *, bool);
static int (*elf_load_binary)(struct elf_binary *);
static const char *(*elf_check_broken)(const struct elf_binary *);

/* What the library logs of its results, to check the structures by. */
static struct {
    uint64_t pstart, pend, base, offset, kstart, kend, entry, p2m;
    unsigned seen;
} logged;
static char last_error[1024];

static void take(const char *text, const char *name, uint64_t *value)
{
    const char *found = strstr(text, name);
    if (found && sscanf(found + strlen(name), " = 0x%lx", value) == 1)
        logged.seen++;
}

static void log_line(struct elf_binary *elf, void *data, bool is_error, const char *format, va_list args)
{
    char text[1024];
    (void)elf, (void)data;
    vsnprintf(text, sizeof(text), format, args);
    if (is_error)
        snprintf(last_error, sizeof(last_error), "%s", text);
    if (!strncmp(text, "ELF: memory: ", 13))
        logged.seen += sscanf(text + 13, "%lx -> %lx", &logged.pstart, &logged.pend) == 2;
    take(text, " virt_base       ", &logged.base);
    take(text, " elf_paddr_offset", &logged.offset);
    take(text, " virt_kstart     ", &logged.kstart);
    take(text, " virt_kend       ", &logged.kend);
    take(text, " virt_entry      ", &logged.entry);
    take(text, " p2m_base        ", &logged.p2m);
}

static bool layout_is_known(const struct elf_binary *elf, const struct elf_dom_parms *parms)
{
    if (elf->pstart != logged.pstart || elf->pend != logged.pend)
        return false;
    if (logged.seen == 1) /* refused before any address was worked out */
        return true;
    return logged.seen == 7 && parms->virt_base == logged.base && parms->elf_paddr_offset == logged.offset &&
           parms->virt_kstart == logged.kstart && parms->virt_kend == logged.kend &&
           parms->virt_entry == logged.entry && parms->p2m_base == logged.p2m;
}

static void text(const char *name, const char *value)
{
    printf(" %s=", name);
    for (; *value; value++)
        printf("%02x", (unsigned char)*value);
}

static void load(struct elf_binary *elf, const struct elf_dom_parms *parms)
{
    uint64_t len = (parms->virt_kend - parms->virt_kstart + PAGE - 1) & ~(PAGE - 1);
    void *memory = NULL;
    const char *broken;
    int rc;

    if (len == 0 || len > MAX_LOADED || posix_memalign(&memory, PAGE, len)) {
        printf(" loaded=0\n");
        return;
    }
    memset(memory, 0, len);
    elf->dest_base = memory;
    elf->dest_size = len;
    rc = elf_load_binary(elf);
    broken = elf_check_broken(elf);
    text("load_broken", broken ? broken : "");
    printf(" load=%d loaded=%lu\n", rc, len);
    fwrite(memory, 1, len, stdout);
    free(memory);
}

static void kernel(const char *image, size_t size, unsigned flags)
{
    static struct elf_binary elf;
    static struct elf_dom_parms parms;
    int rc;
    const char *broken;

    memset(&elf, 0, sizeof(elf));
    memset(&parms, 0, sizeof(parms));
    memset(&logged, 0, sizeof(logged));
    last_error[0] = 0;
    rc = elf_init(&elf, image, size);
    if (rc) {
        printf("init=%d loaded=0\n", rc);
        return;
    }
    elf_set_log(&elf, log_line, NULL, true);
    elf_parse_binary(&elf);
    rc = elf_xen_parse(&elf, &parms, flags & 1);
    broken = elf_check_broken(&elf);
    if (!layout_is_known(&elf, &parms)) {
        printf("layout=unknown loaded=0\n");
        return;
    }
    printf("init=0 parse=%d pstart=%lx pend=%lx virt_base=%lx paddr_offset=%lx virt_kstart=%lx virt_kend=%lx", rc,
           elf.pstart, elf.pend, parms.virt_base, parms.elf_paddr_offset, parms.virt_kstart, parms.virt_kend);
    printf(" virt_entry=%lx p2m_base=%lx hypercall=%lx hv_start_low=%lx phys_entry=%x", parms.virt_entry,
           parms.p2m_base, parms.virt_hypercall, parms.virt_hv_start_low, parms.phys_entry);
    printf(" supported=%x required=%x pae=%d bsd_symtab=%d unmapped_initrd=%d", parms.f_supported, parms.f_required,
           parms.pae, parms.bsd_symtab, parms.unmapped_initrd);
    text("broken", broken ? broken : "");
    text("error", last_error);
    text("guest_os", parms.guest_os);
    text("guest_ver", parms.guest_ver);
    text("xen_ver", parms.xen_ver);
    text("loader", parms.loader);
    if (!rc && (flags & 2))
        load(&elf, &parms);
    else
        printf(" loaded=0\n");
}

static void *need(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s\n", dlerror());
        exit(3);
    }
    return found;
}

int main(int count, char **words)
{
    void *library = count == 2 ? dlopen(words[1], RTLD_NOW) : NULL;
    unsigned char flags;

    if (!library) {
        fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: libelf PATH-OF-LIBXENGUEST");
        return 3;
    }
    elf_init = need(library, "elf_init");
    elf_set_log = need(library, "elf_set_log");
    elf_parse_binary = need(library, "elf_parse_binary");
    elf_xen_parse = need(library, "elf_xen_parse");
    elf_load_binary = need(library, "elf_load_binary");
    elf_check_broken = need(library, "elf_check_broken");

    while (fread(&flags, 1, 1, stdin) == 1) {
        uint64_t size;
        char *image;

        if (fread(&size, sizeof(size), 1, stdin) != 1 || !(image = malloc(size + 1)))
            return 4;
        if (fread(image, 1, size, stdin) != size)
            return 4;
        kernel(image, size, flags);
        free(image);
    }
    return 0;
}
