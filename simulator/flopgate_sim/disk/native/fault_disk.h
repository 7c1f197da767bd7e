/* Disks in memory that lose what was not synced, tear the last write, fill up and fail.
 *
 * A disk belongs to one simulated machine: the files below one folder. What the kernel of that
 * machine would hold (now) and what would survive a loss of power (durable) are two images, with the
 * writes between them in their order. */
#ifndef FLOPGATE_FAULT_DISK_H
#define FLOPGATE_FAULT_DISK_H

#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_BYTES 48
#define SECTOR 512
#define SHM_REGIONS 32
#define SHM_SLOTS 8

typedef struct image {
    uint8_t *data;
    int64_t size;
    int64_t room;
} image;

typedef struct pending {
    int64_t offset; /* of a write; of a truncation -1 - size */
    int64_t count;
    uint8_t *data;
} pending;

/* Shared memory of the processes that have a file open: gone with the last of them. */
typedef struct shm {
    int users;
    int count;
    void *regions[SHM_REGIONS];
    int shared[SHM_SLOTS];
    void *exclusive[SHM_SLOTS];
} shm;

typedef struct node {
    char name[NAME_MAX_BYTES];
    image now, durable;
    int exists, exists_durable;
    pending *log;
    int logged, log_room;
    int64_t unsynced;
    int shared;
    void *reserved, *waiting, *exclusive;
    shm *memory;
    struct node *next;
} node;

typedef struct disk {
    char *prefix; /* with the slash at its end */
    size_t prefix_length;
    node *files;
    int generation; /* handles of an older one belong to a dead process */
    int died; /* the process, at a write */
    int down; /* nobody may use it until a new process starts */
    int64_t calls;
    int64_t dies_at;
    int tears;
    int64_t fails_at;
    int64_t left; /* bytes that files may still grow, -1: no bound */
    int lies;
    int handles; /* open ones, of whatever generation */
    int closed;  /* freed with the last handle */
    struct disk *next;
} disk;

disk *disk_of(const char *path, const char **name);
node *disk_find(disk *owner, const char *name);
node *disk_make(disk *owner, const char *name);
int image_write(image *target, const void *data, int64_t count, int64_t offset);
int image_truncate(image *target, int64_t size);
int node_log(node *file, int64_t offset, const void *data, int64_t count);
void node_synced(node *file);
void disk_names_synced(disk *owner);
void disk_left(disk *owner);
shm *shm_of(node *file);
void shm_left(shm *memory);

#endif
