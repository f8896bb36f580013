//! Which instructions a decoder may use.

/// Which of the two forms of the zstd decoder runs: the plain one, or one by the instructions of BMI1 and BMI2, which takes a fifth
/// fewer of them. Both decode alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// Set only where the processor has both.
    bmi2: bool,
}

impl Path {
    /// The form for any processor.
    pub const PLAIN: Self = Self { bmi2: false };

    /// The best form for this processor, by CPUID. Neither set of instructions needs anything of an operating system.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    pub fn detect() -> Self {
        use core::arch::x86_64::{__cpuid, __cpuid_count};

        /// Leaf 7, EBX: BMI1 and BMI2.
        const BMI: u32 = 1 << 3 | 1 << 8;
        let leaves = __cpuid(0).eax;
        Self { bmi2: leaves >= 7 && __cpuid_count(7, 0).ebx & BMI == BMI }
    }

    /// The best form for this processor, as far as the compiler knows it: Miri has no CPUID.
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    pub fn detect() -> Self {
        Self { bmi2: cfg!(all(target_feature = "bmi1", target_feature = "bmi2")) }
    }

    /// Whether it is the one by BMI1 and BMI2, which the processor then has.
    pub const fn is_bmi2(self) -> bool {
        self.bmi2
    }
}
