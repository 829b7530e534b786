/* ----------------------------------------------------------------------
   The plug-in: LAMMPS loads it by itself (LAMMPS_PLUGIN_PATH, *plugin.so), or by `plugin load`.
------------------------------------------------------------------------- */

#include "error.h"
#include "lammps.h"
#include "pair_hint.h"

#include <cstring>

using namespace LAMMPS_NS;

#ifndef HINT_LAMMPS_VERSION
#error "HINT_LAMMPS_VERSION is not set: build with 'hint lammps build' or the CMakeLists.txt beside this file"
#endif

// As in lammpsplugin.h, which not every installation has.

extern "C" {
typedef struct {
  const char *version, *style, *name, *info, *author;
  union {
    void *(*v1)(LAMMPS *);
    void *(*v2)(LAMMPS *, int, char **);
  } creator;
  void *handle;
} hint_lammpsplugin_t;
typedef void (*hint_lammpsplugin_regfunc)(hint_lammpsplugin_t *, void *);
}

// An object of another LAMMPS has another layout: the pair style must not even be made.

static Pair *make_pair(LAMMPS *lmp) {
  if (std::strcmp(lmp->version, HINT_LAMMPS_VERSION) != 0)
    lmp->error->all(
        __FILE__, __LINE__,
        std::string("pair_style hint was built for LAMMPS " HINT_LAMMPS_VERSION ", and this is ") +
            lmp->version + ": run 'hint lammps build' again");
  return new PairHint(lmp);
}

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  hint_lammpsplugin_t plugin;
  plugin.version = static_cast<LAMMPS *>(lmp)->version; // checked above, when it matters
  plugin.style = "pair";
  plugin.name = "hint";
  plugin.info = "HINT: potentials of 'hint export'";
  plugin.author = "HINT developers";
  plugin.creator.v1 = reinterpret_cast<void *(*)(LAMMPS *)>(&make_pair);
  plugin.handle = handle;
  reinterpret_cast<hint_lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}
