/* -*- c++ -*- ----------------------------------------------------------
   pair_style hint: potentials exported by `hint export` (hint-mlip).

   Licence: MIT, as the rest of HINT. What is compiled from it with LAMMPS is under LAMMPS's licence (GPL-2).
------------------------------------------------------------------------- */

#ifdef PAIR_CLASS
// clang-format off
PairStyle(hint,PairHint);
// clang-format on
#else

#ifndef LMP_PAIR_HINT_H
#define LMP_PAIR_HINT_H

#include "pair.h"
#include "torch_model.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairHint : public Pair {
public:
  PairHint(class LAMMPS *);
  ~PairHint() override;
  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  double memory_usage() override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

private:
  std::unique_ptr<hint::TorchModel> model;
  std::string path;                  // of the artifact
  std::vector<std::string> elements; // that it knows; their order is the index of a species

  std::string device;       // as asked for: auto, cpu, cuda, cuda:n
  std::string mode;         // as asked for: auto, fold, ghost
  bool ghosts;              // ghosts' neighbours are needed: the mode that is in use
  bool told;                // the size of the first graph has been printed
  bool domain_known;        // what it was trained on is known, and nothing outside of it has been met
  double largest_force;     // on an atom in the training, eV/A; 0: not known
  double cutoff;            // A
  double energy_unit;       // LAMMPS's unit of energy in eV
  int hops;                 // an atom's energy depends on others so many neighbours away
  std::vector<int> species; // of each atom type, the model's index; -1: not this style's (hybrid)

  std::vector<bool> trained; // whether an element was in the training
  std::vector<double> pull;  // the style's own forces, eV/A, as long as they are compared with the training's
  std::vector<double> shortest; // distance of two elements in the training, [elements x elements], A

  // The graph of one step. An atom and all of its ghosts are one node.
  std::vector<int> atoms;    // node -> LAMMPS index of the atom, or of the ghost that stands for it
  std::vector<int> nodes;    // LAMMPS index, as the atom map gives it -> node, or -1
  std::vector<char> in_list; // whether the neighbour list has neighbours of this LAMMPS index
  std::vector<int64_t> first, second, kinds; // i and j of the edges, species of the nodes
  std::vector<double> vectors;               // x_j - x_i of the edges

  void allocate();
  void load(const std::string &, bool);
  void set_domain(const hint::Domain &);
  void choose_device();
  void refuse_what_is_wrong();
  bool excludes() const;
  int64_t build_graph();
  int node_of(int);
  void tell_size(int64_t);
  void evaluate(int64_t);
  void look_outside();
  void look_at_forces();
  void say_outside(int, std::string);
  double length(int64_t) const;
  std::string new_element(int64_t) const;
  std::string too_close(int64_t) const;
  void not_finite(const char *, int);
};

} // namespace LAMMPS_NS

#endif
#endif
