/* Reads a file of xl's by Xen's own parser, libxlutil, and prints what it is asked for.
 *
 * xlcfg LIBRARY FILE SETTING...
 *
 * For each setting one line with what the file has for it: strings in hexadecimal digits, those of a list separated by
 * commas, numbers in decimal digits, "none" for what it does not have. "memory" and "vcpus" are numbers, "disk" and "vif" are
 * lists, all others are strings. The declarations are those of libxlutil.h, whose library is opened at run time.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int (*get_string)(const void *, const char *, const char **, int);
static int (*get_long)(const void *, const char *, long *, int);
static int (*get_list)(const void *, const char *, void **, int *, int);
static const char *(*get_item)(const void *, int);

static void hex(const char *text)
{
    for (; *text; text++)
        printf("%02x", (unsigned char)*text);
}

static void say(const void *config, const char *name)
{
    const char *text;
    long number;
    void *list;
    int items;

    if (!strcmp(name, "memory") || !strcmp(name, "vcpus")) {
        if (!get_long(config, name, &number, 1)) {
            printf("%ld\n", number);
            return;
        }
    } else if (!strcmp(name, "disk") || !strcmp(name, "vif")) {
        if (!get_list(config, name, &list, &items, 1)) {
            for (int item = 0; item < items; item++) {
                printf(item ? "," : "");
                hex(get_item(list, item));
            }
            printf("\n");
            return;
        }
    } else if (!get_string(config, name, &text, 1)) {
        hex(text);
        printf("\n");
        return;
    }
    printf("none\n");
}

int main(int count, char **words)
{
    void *library, *config;
    void *(*init)(FILE *, const char *);
    int (*read_file)(void *, const char *);

    if (count < 3 || !(library = dlopen(words[1], RTLD_NOW))) {
        fprintf(stderr, "%s\n", count < 3 ? "expected LIBRARY FILE SETTING..." : dlerror());
        return 2;
    }
    init = dlsym(library, "xlu_cfg_init");
    read_file = dlsym(library, "xlu_cfg_readfile");
    get_string = dlsym(library, "xlu_cfg_get_string");
    get_long = dlsym(library, "xlu_cfg_get_long");
    get_list = dlsym(library, "xlu_cfg_get_list");
    get_item = dlsym(library, "xlu_cfg_get_listitem");
    if (!init || !read_file || !get_string || !get_long || !get_list || !get_item) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    config = init(stderr, words[2]);
    if (!config || read_file(config, words[2]))
        return 1;
    for (int word = 3; word < count; word++)
        say(config, words[word]);
    return 0;
}
