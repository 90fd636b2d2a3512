// The yardstick: what Eigen and a few standard headers cost on this machine.
#include <algorithm>
#include <Eigen/Core>
#include <filesystem>
#include <string>
#include <vector>
