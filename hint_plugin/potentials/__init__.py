"""What answers at a geometry, models and engines alike: energies, forces, stresses, Hessians, H v."""
